"""Files to run an installation with: what its roles are stands here once, and is written down in several languages.

``installation`` is the source; ``compose``, ``kubernetes``, ``units`` and ``dashboards`` each write it their way; ``files``
gives what is the same for everybody, such as redis.conf. Called by ``orchestrator deploy``.
"""
