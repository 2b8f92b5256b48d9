#!lua
-- key_queue: from now on the tasks of this type have keys; what is in the queue already has none, and counts as such.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then key use kpt spt and the fin of every domain
-- ARGV  domains_version
-- GIVES DOMAINS version name index ...
-- SAFE TO REPEAT: yes
--@include domains
--@include now
local known = redis.call('HMGET', KEYS[1], 'dv', 'seq')
local version = known[1] or '0'
if version ~= ARGV[1] then return domains(version) end
-- Turns are counted from behind everything that stands in line by its time.
local first_turn = math.max(now * 4096, tonumber(known[2] or '0') + 1)
local out, ready = redis.call('ZCARD', KEYS[4]) + redis.call('SCARD', KEYS[5]), 0
for domain = 0, last_domain do
  ready = ready + redis.call('ZCARD', KEYS[7 + 3 * domain])
  local held = redis.call('SCARD', KEYS[5]) > 0 and redis.call('SMEMBERS', KEYS[5]) or {}
  for i = 1, #held do
    if redis.call('ZSCORE', KEYS[7 + 3 * domain], held[i]) then ready = ready - 1 end
  end
end
redis.call('HLEN', KEYS[11 + 3 * last_domain])
redis.call('HSET', KEYS[1], 'dv', version .. 'k', 'kb', string.format('%d', first_turn))
if out + ready > 0 then
  redis.call('HSET', KEYS[11 + 3 * last_domain], '', string.format('%d %d 0 0', out, ready))
end
return domains(version .. 'k')
