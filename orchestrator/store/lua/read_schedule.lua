#!lua flags=no-writes
-- read_schedule: one schedule, when it is due next, and the time it is.
-- KEYS  def next (of the schedules)
-- ARGV  name
-- GIVES now json ('' = there is none) due_ms ('' = paused, over, or none)
-- SAFE TO REPEAT: yes
--@include now
return {string.format('%d', now), redis.call('HGET', KEYS[1], ARGV[1]) or '', redis.call('HGET', KEYS[2], ARGV[1]) or ''}
