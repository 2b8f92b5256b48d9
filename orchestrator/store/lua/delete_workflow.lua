#!lua flags=allow-oom
-- delete_workflow: forget one version of a workflow definition; the latest is then the highest that is left.
-- KEYS  wf:<name> wfs (of the catalog)
-- ARGV  name version
-- GIVES OK | GONE
-- SAFE TO REPEAT: yes, GONE is then the answer
redis.call('HLEN', KEYS[2])
if redis.call('HDEL', KEYS[1], ARGV[2]) == 0 then return 'GONE' end
local latest = 0
for _, version in ipairs(redis.call('HKEYS', KEYS[1])) do latest = math.max(latest, tonumber(version)) end
if latest == 0 then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%d', latest))
end
return 'OK'
