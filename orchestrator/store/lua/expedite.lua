#!lua
-- expedite: let tasks that wait for their time be claimed at once; one that waits for nothing, or is out, is left alone.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version, then task ids
-- GIVES OK moved | DOMAINS version name index ...
-- SAFE TO REPEAT: yes, a task that is due stays due
local meta, rec, dly = KEYS[1], KEYS[2], KEYS[3]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'paused', 'seq')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
if #ARGV == 1 then return {'OK', 0} end
--@include now
--@include wake
--@include room
local format, match = string.format, string.match
local tids = {}
for i = 2, #ARGV do tids[i - 1] = ARGV[i] end
local records = redis.call('HMGET', rec, unpack(tids))
local delayed = redis.call('ZMSCORE', dly, unpack(tids))
local order, changed, due, woken = tonumber(m[8] or '0'), {}, {}, {}
for i = 1, #tids do
  local delivery, offer, domain, advance, due_back, heard, base, flag
  if records[i] and delayed[i] then
    delivery, offer, domain, advance, due_back, heard, base, flag = match(records[i], '^(%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) ([-x])$')
  end
  -- One that is lent to a worker stands here with another time than its own.
  if due_back and tonumber(delayed[i]) == tonumber(due_back) and tonumber(delayed[i]) > now * 4096 + 4095 then
    order = math.max(now * 4096, order + 1)
    changed[#changed + 1] = tids[i]
    changed[#changed + 1] = delivery .. ' ' .. offer .. ' ' .. domain .. ' ' .. advance .. format(' %.0f ', order) .. heard .. ' ' .. base .. ' ' .. flag
    due[#due + 1] = format('%.0f', math.min(order, now * 4096))
    due[#due + 1] = tids[i]
    woken[tonumber(domain)] = (woken[tonumber(domain)] or 0) + 1
  end
end
local asleep = 0
for domain in pairs(woken) do asleep = asleep + waiting(domain) end
local left = 0
if asleep > 0 and not m[7] then
  left = room(tonumber(m[2] or '0'), tonumber(m[3] or '0'), tonumber(m[4] or '0'), tonumber(m[5] or '0'), tonumber(m[6] or '0'))
  -- One that kept its slot while it waited needs no other.
  if left <= 0 and redis.call('SCARD', KEYS[5]) > 0 then left = 1 end
end

if #due > 0 then
  redis.call('HSET', rec, unpack(changed))
  redis.call('HSET', meta, 'seq', format('%.0f', order))
  redis.call('ZADD', dly, 'XX', unpack(due))
end
for domain, count in pairs(woken) do wake(domain, math.min(count, left)) end
return {'OK', #due / 2}
