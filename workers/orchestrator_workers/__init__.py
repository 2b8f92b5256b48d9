"""Runs task code: claims ready tasks, keeps their leases alive, hands in the outcomes.

Never decides what a workflow does next; that is the decider's. Started by ``orchestrator worker`` and imported by
programs that embed a worker of their own.
"""
