"""PodSecurity: the Pod Security Standards, enforced, audited or warned of as a namespace's labels say."""
