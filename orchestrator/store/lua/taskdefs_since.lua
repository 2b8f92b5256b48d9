#!lua flags=no-writes
-- taskdefs_since: the task definitions that changed after a revision, oldest change first.
-- KEYS  td tdrev (of the catalog)
-- ARGV  revision limit
-- GIVES per definition: name revision json (nothing = deleted)
-- SAFE TO REPEAT: yes, reads only
local changed = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local names, reply = {}, {}
for i = 1, #changed, 2 do names[#names + 1] = changed[i] end
if #names == 0 then return {} end
local texts = redis.call('HMGET', KEYS[1], unpack(names))
for i = 1, #names do
  reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = names[i], tonumber(changed[2 * i]), texts[i]
end
return reply
