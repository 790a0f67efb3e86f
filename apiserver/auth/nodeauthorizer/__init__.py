"""What nodes may do: what the pods on them need."""
