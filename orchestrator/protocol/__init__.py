"""What our own clients and our server say to one another over HTTP: verbs of the service, their values, their errors.

``verbs`` is the table of what may be asked, ``forms`` how arguments and answers travel, ``refusals`` how errors do. Both ends
read the same tables, so a verb that works on Redis works over HTTP alike. Knows neither sockets nor routes.
"""
