"""The room that handles events: it reads messages, asks the handlers, does their actions, and delivers listeners' news.

``processor`` says what happens to one message, ``actions`` what each of the five actions does, ``sources`` where
messages come from. All of it is plans; ``host`` is the process around them. Any number of processes may run it: a message
is read under a consumer group, and what was done for it is recorded under ids that follow from the message.
"""
