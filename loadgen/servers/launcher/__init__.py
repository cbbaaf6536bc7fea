"""Starting a server from what a profile says, watching over it, and ending it for certain.

`start` does what `serve up` asks, `stop` what `serve down` asks, `state` has which server is there. A process of its
own, `supervisor`, owns the server: it outlives loadgen, and the server's whole family does not outlive it.
"""
