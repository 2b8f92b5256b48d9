#!lua
-- import_workflow: make an execution that has ended exist, from records that were staged under another key of its slot.
-- KEYS  w d defs staged, then index keys
-- ARGV  wid start_ms definition_hash definition_body ('' = none) number of staged records, then field value of the
--       workflow's hash ...
-- GIVES OK | TAKEN | LOST (not all that was staged is there any more)
-- SAFE TO REPEAT: yes, the repeat is TAKEN and rewrites a field so that a barrier has something to see
local wid = ARGV[1]
local version = redis.call('HGET', KEYS[1], 'v')
if version then redis.call('HSET', KEYS[1], 'v', version) end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'TAKEN'} end
local staged = redis.call('HLEN', KEYS[4])
if staged ~= tonumber(ARGV[5]) then return {'LOST'} end
for i = 5, #KEYS do redis.call('ZCARD', KEYS[i]) end
local is_known = redis.call('HEXISTS', KEYS[3], ARGV[3])

redis.call('UNLINK', KEYS[2])
if staged > 0 then
  redis.call('PERSIST', KEYS[4])
  redis.call('RENAME', KEYS[4], KEYS[1])
end
if is_known == 0 and ARGV[4] ~= '' then redis.call('HSET', KEYS[3], ARGV[3], ARGV[4]) end
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 5, #KEYS do redis.call('ZADD', KEYS[i], ARGV[2], wid) end
return {'OK'}
