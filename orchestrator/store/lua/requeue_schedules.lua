#!lua
-- requeue_schedules: have every schedule looked at when it is due, whatever claims there are.
-- KEYS  next look (of the schedules)
-- ARGV  none
-- GIVES the number of schedules that wait for their time
-- SAFE TO REPEAT: yes
local fields = redis.call('HGETALL', KEYS[1])
redis.call('ZCARD', KEYS[2])
for i = 1, #fields, 2 do redis.call('ZADD', KEYS[2], fields[i + 1], fields[i]) end
return #fields / 2
