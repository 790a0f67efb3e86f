"""Role-based access control: roles, bindings and what they grant."""
