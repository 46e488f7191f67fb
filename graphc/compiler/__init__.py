"""``graphc.compile``: tracing, specialising, and the calls of compiled programs.

A call enters in ``function``; ``specialise`` traces and compiles (``survey``, ``guards``, ``plan``
on what is assumed, ``segments`` on values asked for, ``pullbacks`` on gradients, ``executable`` on
programs); ``dispatch`` writes the Python function of later calls from ``checks`` and ``runs``.
"""
