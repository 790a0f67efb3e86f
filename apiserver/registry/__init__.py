"""What each resource is: the generic registry fixes the order of a request, strategies fill in the rest."""
