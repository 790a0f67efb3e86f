"""What runs containers, behind one Protocol: containerd and others through CRI, or the hollow runtime."""
