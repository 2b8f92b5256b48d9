#!lua
-- register_workflow: store one version of a workflow definition.
-- KEYS  wf:<name> wfs (of the catalog)
-- ARGV  name version json overwrite(1|0)
-- GIVES OK | SAME (this very text was there) | EXISTS (another text is there; nothing is changed)
-- SAFE TO REPEAT: yes, SAME is then the answer
local stored = redis.call('HGET', KEYS[1], ARGV[2])
local latest = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if stored and stored ~= ARGV[3] and ARGV[4] ~= '1' then return 'EXISTS' end
-- SAME writes too: the durability barrier that follows covers only what this connection has written.
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%d', math.max(latest, tonumber(ARGV[2]))))
return stored == ARGV[3] and 'SAME' or 'OK'
