#!lua
-- acquire: take or extend the ownership of a partition; a new owner gets a new epoch, which fences the old one off.
-- KEYS  own
-- ARGV  owner ttl_ms force (1 = take it from a living owner)
-- GIVES OK epoch crashes | HELD owner expires_in_ms
-- SAFE TO REPEAT: yes, the owner's own repetition extends the lease under the same epoch
--@include now
local own, owner = KEYS[1], ARGV[1]
local known = redis.call('HMGET', own, 'o', 'e', 'x', 'n')
local holder, epoch, expiry, crashes = known[1] or '', tonumber(known[2] or '0'), tonumber(known[3] or '0'), known[4] or '0'
local expires = string.format('%d', now + tonumber(ARGV[2]))
if holder == owner then
  redis.call('HSET', own, 'x', expires)
  return {'OK', epoch, tonumber(crashes)}
end
local is_held = holder ~= '' and expiry > now
if is_held and ARGV[3] ~= '1' then return {'HELD', holder, expiry - now} end
-- An owner that is still named here has not let go: it died. One that was pushed out has not.
if holder == '' then
  crashes = 0
elseif not is_held then
  crashes = tonumber(crashes) + 1
end
redis.call('HSET', own, 'o', owner, 'e', string.format('%d', epoch + 1), 'x', expires, 'n', string.format('%d', crashes))
return {'OK', epoch + 1, tonumber(crashes)}
