#!lua
-- start: claim workflow ids (and idempotency keys), keep the requests and tell the decider; each for itself, in order.
-- KEYS  ev idem defs, then w tomb of each start, then w of each predecessor that a start names
-- ARGV  number of definitions, then hash body of each (body '' = believed to be here), number of starts, then per start:
--       wid request_id name idempotency_field expected_other index_of_its_w definition_number meta input event_body
--       ('' = none: idempotency_field, expected_other and its index)
-- GIVES per start: {OK wid} | {EXISTS other_wid} | {TAKEN} | {NODEF} | {TOMB} | {CORRUPT}
-- SAFE TO REPEAT: yes, with the same wid and request_id; the repeat rewrites a field so that a barrier has something to see
--@include now
local call, pcall = redis.call, redis.pcall
local ev, idem, defs = KEYS[1], KEYS[2], KEYS[3]
-- An answer and no error: inside a caller's transaction an error would drop the start and keep the caller's writes.
local is_foreign = false
for _, size in ipairs({pcall('XLEN', ev), pcall('HLEN', idem), pcall('HLEN', defs)}) do
  if type(size) == 'table' then is_foreign = true end
end
local hashes, bodies, known = {}, {}, {}
for n = 1, tonumber(ARGV[1]) do
  hashes[n], bodies[n] = ARGV[2 * n], ARGV[2 * n + 1]
  known[n] = not is_foreign and call('HEXISTS', defs, hashes[n]) == 1
end

local text = string.format('%d', now)
local function start(w, tomb, at)
  local wid, rid, field, other, n = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 6])
  local found = pcall('HMGET', w, 'v', 'rid')
  if is_foreign or found.err then return {'CORRUPT'} end
  if found[1] then
    if found[2] ~= rid then return {'TAKEN'} end
    call('HSET', w, 'rid', rid)
    return {'OK', wid}
  end
  if call('EXISTS', tomb) == 1 then return {'TOMB'} end
  if field ~= '' then
    local holder = call('HGET', idem, field)
    if holder and holder ~= wid then
      local s = holder ~= other and 'RUNNING' or pcall('HGET', KEYS[tonumber(ARGV[at + 5])], 's')
      if type(s) == 'table' then return {'CORRUPT'} end
      if s and s ~= 'COMPLETED' and s ~= 'FAILED' and s ~= 'TIMED_OUT' and s ~= 'TERMINATED' then
        call('HSET', idem, field, holder)
        return {'EXISTS', holder}
      end
    end
  end
  if not known[n] and bodies[n] == '' then return {'NODEF'} end
  call('XADD', ev, '*', 'k', 'start', 'w', wid, 't', text, 'x', '', 'b', ARGV[at + 9])
  call('HSET', w, 'v', '0', 's', 'RUNNING', 'rid', rid, 't', text, 'n', ARGV[at + 2], 'm', ARGV[at + 7], 'i', ARGV[at + 8])
  if field ~= '' then call('HSET', idem, field, wid) end
  if not known[n] then
    call('HSET', defs, hashes[n], bodies[n])
    known[n] = true
  end
  return {'OK', wid}
end

local replies, first = {}, 2 + 2 * tonumber(ARGV[1])
for i = 1, tonumber(ARGV[first]) do
  replies[i] = start(KEYS[2 + 2 * i], KEYS[3 + 2 * i], first + 1 + 10 * (i - 1))
end
return replies
