#!lua flags=allow-oom
-- settle: take leases back: for good (done), for another worker at once (back), or for later with the slot kept (hold).
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version, then per task: kind(done|back|hold) id delivery offer delay_ms
-- GIVES OK settled | DOMAINS version name index ...
-- SAFE TO REPEAT: yes, a delivery that is no longer current, or back and hold without a lease, change nothing
local meta, rec, dly, lea, hld = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'seq', 'lim_total', 'lim_since', 'conc', 'rate', 'window_ms', 'guard_ms', 'used',
  'paused')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
if #ARGV == 1 then return {'OK', 0} end
--@include now
--@include wake
--@include room
--@include keys
local format, match = string.format, string.match
local tids = {}
for i = 3, #ARGV, 5 do tids[#tids + 1] = ARGV[i] end
local records = redis.call('HMGET', rec, unpack(tids))
local leased = redis.call('ZMSCORE', lea, unpack(tids))
if is_keyed then know(tids) end

local order, settled = tonumber(m[2] or '0'), 0
local free, gone, stray, changed, held, later, ready, hurry = {}, {}, {}, {}, {}, {}, {}, {}
local seen = {}
for i = 1, #tids do
  local tid, record, at = tids[i], records[i], 5 * i - 3
  local kind = ARGV[at]
  local delivery, offer, domain, advance, due, base, flag, _
  if record and not seen[tid] then
    delivery, offer, domain, advance, due, _, base, flag = match(record, '^(%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) ([-x])$')
  end
  if delivery == ARGV[at + 2] and (leased[i] or kind == 'done') then
    seen[tid] = true
    settled = settled + 1
    if leased[i] then free[#free + 1] = tid end
    if is_keyed and leased[i] and not (kind == 'hold' and tonumber(ARGV[at + 4]) > 0 and flag ~= 'x') then free_use(tid, 'out') end
    -- Offered anew while it was out: the release is about an older offer, so the task stays.
    local anew = kind == 'done' and offer ~= ARGV[at + 3]
    if flag == 'x' or (kind == 'done' and not anew) then
      gone[#gone + 1] = tid
      if is_keyed then forget_keys(tid) end
      if not leased[i] then stray[#stray + 1] = {tid, tonumber(domain)} end
    elseif leased[i] then
      local delay = kind == 'hold' and tonumber(ARGV[at + 4]) or 0
      if kind == 'hold' then
        order = math.max(now * 4096, order + 1)
        due = format('%d', order + delay * 4096)
        if is_keyed then leave_line(tid) end
      end
      if delay > 0 then
        held[#held + 1] = tid
        later[#later + 1] = due
        later[#later + 1] = tid
        -- Waiters look again after two seconds at the latest; what is due earlier than that must be told to one of them.
        if delay < 2000 then hurry[tonumber(domain)] = (hurry[tonumber(domain)] or 0) + 1 end
      else
        local place = format('%d', due - advance * 4096)
        if is_keyed then place = line_up(tid, tonumber(domain), place) end
        local list = ready[tonumber(domain)]
        if not list then list = {} ready[tonumber(domain)] = list end
        if place then
          list[#list + 1] = place
          list[#list + 1] = tid
        end
      end
      -- Its worker has been heard of: only deliveries from here on count as lost when nobody reports on them.
      local heard = delivery
      changed[#changed + 1] = tid
      changed[#changed + 1] = table.concat({delivery, offer, domain, advance, due, heard, base, flag}, ' ')
    end
  end
end

local conc, rate, used = tonumber(m[5] or '0'), tonumber(m[6] or '0'), tonumber(m[9] or '0')
local freed = #free - #held
local asleep = 0
if #later > 0 then redis.call('ZCARD', dly) end
if #stray > 0 or #held > 0 then redis.call('SCARD', hld) end
for i = 1, #stray do
  redis.call('ZCARD', KEYS[7 + 3 * stray[i][2]])
  redis.call('ZCARD', dly)
end
for domain = 0, last_domain do
  if hurry[domain] then waiting(domain) end
  if ready[domain] or is_keyed or (conc > 0 and freed + #stray > 0) then
    redis.call('ZCARD', KEYS[7 + 3 * domain])
    asleep = asleep + waiting(domain)
  end
end
local left = 0
if asleep > 0 and not m[10] then
  left = room(conc > 0 and conc + freed or 0, rate, tonumber(m[7] or '0'), tonumber(m[8] or '0'), used)
end

if #free > 0 then redis.call('ZREM', lea, unpack(free)) end
if #gone > 0 then redis.call('HDEL', rec, unpack(gone)) end
for i = 1, #stray do
  local tid, domain = unpack(stray[i])
  local was_ready, was_held = redis.call('ZREM', KEYS[7 + 3 * domain], tid), redis.call('SREM', hld, tid)
  redis.call('ZREM', dly, tid)
  freed = freed + was_held
  if is_keyed then out_of_line(tid, domain, was_ready == 1, was_held == 1) end
end
if #changed > 0 then
  redis.call('HSET', rec, unpack(changed))
  redis.call('HSET', meta, 'seq', format('%d', order))
end
if #held > 0 then
  redis.call('SADD', hld, unpack(held))
  redis.call('ZADD', dly, unpack(later))
end
for domain, list in pairs(ready) do
  if #list > 0 then redis.call('ZADD', KEYS[7 + 3 * domain], unpack(list)) end
end
if is_keyed then
  let_in()
  write_keys()
end
if freed > 0 and m[4] and conc > 0 and not (rate > 0 and used >= rate) then
  -- A slot is free again: from now on a task waits for a worker, not for the limit.
  redis.call('HSET', meta, 'lim_total', format('%d', (m[3] or 0) + math.max(0, now - m[4])))
  redis.call('HDEL', meta, 'lim_since')
end
for domain = 0, last_domain do
  if hurry[domain] then wake(domain, hurry[domain]) end
  if left > 0 and waiters[domain] then
    wake(domain, math.min(left, redis.call('ZCARD', KEYS[7 + 3 * domain])))
  end
end
return {'OK', settled}
