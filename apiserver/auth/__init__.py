"""Who is asking (authentication) and whether they may (authorisation)."""
