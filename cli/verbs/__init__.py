"""The kubectl-like verbs: one module per verb, with kubectl's words, output and exit status.

A verb is a coroutine that gets a `Session` (client, namespace) and its options, prints, and returns the exit
status. `commands.py` declares the flags and imports a verb only when it is called, because starting fast is
part of what a command line is for.
"""
