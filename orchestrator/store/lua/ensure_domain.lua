#!lua
-- ensure_domain: give a domain of a task type its number (1, 2, ...), once; numbers are never taken back.
-- KEYS  meta
-- ARGV  domain domains_max
-- GIVES DOMAINS version, then name index of every domain | FULL version
-- SAFE TO REPEAT: yes
--@include domains
local field = 'dom:' .. ARGV[1]
local known = redis.call('HMGET', KEYS[1], 'dv', field)
local count, keyed = string.match(known[1] or '0', '^(%d+)(k?)$')
if not known[2] then
  if tonumber(count) >= tonumber(ARGV[2]) then return {'FULL', known[1]} end
  -- The version is the number of domains: the list only ever grows at its end.
  count = string.format('%d', count + 1)
  redis.call('HSET', KEYS[1], 'dv', count .. keyed, field, count)
end
return domains(count .. keyed)
