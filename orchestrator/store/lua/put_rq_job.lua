#!lua
-- put_rq_job: note that a task has, or is about to have, a job at RQ, and when to look at it.
-- KEYS  job due (of the jobs at RQ)
-- ARGV  task id, RQ queue, delay_ms
-- GIVES OK
-- SAFE TO REPEAT: yes; since when the job is known stays as it was
--@include now
redis.call('ZCARD', KEYS[2])
redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%d', now) .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%d', now + tonumber(ARGV[3])), ARGV[1])
return 'OK'
