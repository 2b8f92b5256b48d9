#!lua flags=allow-oom
-- heartbeat: extend leases that are still held under the same delivery.
-- KEYS  meta rec lea (all of one queue)
-- ARGV  lease_ms, then per task: id delivery
-- GIVES per task OK | CANCELLED (extended too, until its worker lets go) | LOST
-- SAFE TO REPEAT: yes, a lease only ever grows
local rec, lea = KEYS[2], KEYS[3]
if #ARGV == 1 then return {} end
--@include now
local tids = {}
for i = 2, #ARGV, 2 do tids[#tids + 1] = ARGV[i] end
local records = redis.call('HMGET', rec, unpack(tids))
local leased = redis.call('ZMSCORE', lea, unpack(tids))
local until_ms = string.format('%d', now + ARGV[1])
local reply, extended = {}, {'XX', 'GT'}
for i = 1, #tids do
  local delivery, flag
  if records[i] and leased[i] then delivery, flag = string.match(records[i], '^(%d+) .* ([-x])$') end
  if delivery and delivery == ARGV[2 * i + 1] then
    extended[#extended + 1] = until_ms
    extended[#extended + 1] = tids[i]
    reply[i] = flag == 'x' and 'CANCELLED' or 'OK'
  else
    reply[i] = 'LOST'
  end
end
if #extended > 2 then redis.call('ZADD', lea, unpack(extended)) end
return reply
