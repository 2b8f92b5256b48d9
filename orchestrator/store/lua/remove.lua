#!lua flags=allow-oom
-- remove: delete a workflow that has ended or is in quarantine (or any, by force) with its index entries.
-- KEYS  w d park tm idem, then index keys
-- ARGV  wid expected_version ('' = any) force idempotency_field ('' = none) timers, so many timer members to disarm,
--       then members of the last index, beside wid
-- GIVES OK | UNKNOWN | CONFLICT | RUNNING
-- SAFE TO REPEAT: yes, the repeat is UNKNOWN
local wid = ARGV[1]
local known = redis.call('HMGET', KEYS[1], 'v', 's', 'q')
if not known[1] then return {'UNKNOWN'} end
if ARGV[2] ~= '' and known[1] ~= ARGV[2] then return {'CONFLICT'} end
local s = known[2]
local is_over = s == 'COMPLETED' or s == 'FAILED' or s == 'TIMED_OUT' or s == 'TERMINATED' or known[3]
if not is_over and ARGV[3] ~= '1' then return {'RUNNING'} end
redis.call('ZCARD', KEYS[4])
local holder = ARGV[4] ~= '' and redis.call('HGET', KEYS[5], ARGV[4])
for i = 6, #KEYS do redis.call('ZCARD', KEYS[i]) end

redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
for i = 6, #KEYS do redis.call('ZREM', KEYS[i], wid) end
local last_timer = 5 + tonumber(ARGV[5])
for i = 6, last_timer do redis.call('ZREM', KEYS[4], ARGV[i]) end
for i = last_timer + 1, #ARGV do redis.call('ZREM', KEYS[#KEYS], ARGV[i]) end
if holder == wid then redis.call('HDEL', KEYS[5], ARGV[4]) end
return {'OK'}
