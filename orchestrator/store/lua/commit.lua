#!lua
-- commit: write what was decided for a batch of workflows and delete the events that led to it, in one step.
-- KEYS  own ev ob tm, then w d of each workflow, then whatever else the operations name
-- ARGV  epoch owner clears_suspects trim ('' = none: all events before this id are of these sections and were just read),
--       number of outbox ids and the ids (delivered hand-offs to delete), number of sections;
--       section: index of w, expected version, number of events and their ids, number of w arguments and field value ...
--       (set behind the operations, so what those delete from w may be set anew),
--       number of operations; operation: code, key index, number of arguments, arguments:
--       H HSET field value ... | D HDEL field ... | Z ZADD score member ... | R ZREM member ... | O XADD body to the outbox
--       G Continue event for wid | A answer body (10 min) and PUBLISH on its key | P PUBLISH channel message
--       U delete all but these fields | X CONFLICT when the final word on one of these suffixes of d is taken already
--       in order, but Z and R come last, all Z before all R, those of many sections in one command
-- GIVES FENCED | OK now next_timer_due_or_-1, then per section: OK outbox_id_or_'' | CONFLICT '' | GONE '' | CORRUPT ''
-- SAFE TO REPEAT: yes, the versions have moved and the events are gone: CONFLICT or GONE
--@include now
local call, pcall, unpack, tonumber, format = redis.call, redis.pcall, unpack, tonumber, string.format
local own, ev, ob, tm = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local owner = call('HMGET', own, 'e', 'o', 'n')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return {'FENCED'} end
call('XLEN', ev)
call('XLEN', ob)
call('ZCARD', tm)

-- Checks. A foreign key among those of one workflow spoils that section only; everything is read before the first write.
local hashes, sets = {}, {}
local probes = {H = {'HLEN', hashes}, D = {'HLEN', hashes}, X = {'HLEN', hashes}, Z = {'ZCARD', sets}, R = {'ZCARD', sets}}
local function is_sound(code, index)
  local probe = probes[code]
  if not probe or index < 5 then return true end
  local known = probe[2][index]
  if known == nil then
    known = type(pcall(probe[1], KEYS[index])) == 'number'
    probe[2][index] = known
  end
  return known
end

local trim, relayed = ARGV[4], tonumber(ARGV[5])
local at = 6 + relayed
local sections = tonumber(ARGV[at])
at = at + 1
local verdicts, starts, moved, trims = {}, {}, {}, trim ~= ''
for s = 1, sections do
  starts[s] = at
  local known = pcall('HMGET', KEYS[tonumber(ARGV[at])], 'v', 'q', 'qm')
  local verdict = 'OK'
  if known.err then
    verdict = 'CORRUPT'
  elseif (known[1] or '') ~= ARGV[at + 1] or (trim ~= '' and (known[2] or known[3])) then
    verdict = 'CONFLICT'
  end
  moved[s] = known[3]
  local events = tonumber(ARGV[at + 2])
  at = at + 3
  -- A single event is checked by deleting it. What this owner has just read can only be gone if another owner, another
  -- version, a quarantine or the end of one (qm) came in between, and those are found out anyway.
  if events > 1 and trim == '' then
    for i = at, at + events - 1 do
      if verdict == 'OK' and #call('XRANGE', ev, ARGV[i], ARGV[i]) == 0 then verdict = 'GONE' end
    end
  end
  at = at + events
  at = at + 1 + tonumber(ARGV[at])
  local operations = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, operations do
    local code, n = ARGV[at], tonumber(ARGV[at + 2])
    if verdict ~= 'CORRUPT' and not is_sound(code, tonumber(ARGV[at + 1])) then verdict = 'CORRUPT' end
    if code == 'X' and verdict == 'OK' then
      local key = KEYS[tonumber(ARGV[at + 1])]
      for i = at + 3, at + 2 + n do
        local entry = call('HGET', key, ARGV[i])
        if entry and string.sub(entry, 1, 1) == 'A' then verdict = 'CONFLICT' end
      end
    elseif code == 'Z' then
      for i = at + 3, at + 2 + n, 2 do
        if not tonumber(ARGV[i]) then return redis.error_reply('ERR commit: a score is not a number') end
      end
    end
    at = at + 3 + n
  end
  verdicts[s] = verdict
  trims = trims and verdict == 'OK'
end

-- Writes. Long argument lists go in pieces: Lua's stack holds some eight thousand values.
local function each(command, key, first, last)
  for i = first, last, 4000 do call(command, key, unpack(ARGV, i, math.min(i + 3999, last))) end
end
local text, progressed, settled = format('%d', now), false, {}
if relayed > 0 then each('XDEL', ob, 6, 5 + relayed) end
if trims then call('XTRIM', ev, 'MINID', '=', trim) end
local commands = {H = 'HSET', D = 'HDEL'}
local members = {Z = {}, R = {}}
local reply = {'OK', now, -1}
for s = 1, sections do
  local outbox = ''
  at = starts[s]
  local events = tonumber(ARGV[at + 2])
  if events == 1 and not trims and verdicts[s] == 'OK' and call('XDEL', ev, ARGV[at + 3]) == 0 then verdicts[s] = 'GONE' end
  if verdicts[s] == 'OK' then
    progressed = true
    local w = KEYS[tonumber(ARGV[at])]
    local version = format('%d', (tonumber(ARGV[at + 1]) or 0) + 1)
    for i = at + 3, at + 2 + events do settled[#settled + 1] = ARGV[i] end
    if events > 1 and not trims then each('XDEL', ev, at + 3, at + 2 + events) end
    at = at + 3 + events
    local fields = tonumber(ARGV[at])
    local first_field, last_field = at + 1, at + fields
    if moved[s] then call('HDEL', w, 'qm') end
    at = at + fields + 1
    local operations = tonumber(ARGV[at])
    at = at + 1
    for _ = 1, operations do
      local code, key, n = ARGV[at], KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
      local first = at + 3
      at = first + n
      local command, gathered = commands[code], members[code]
      if gathered then
        local list = gathered[key]
        if not list then list = {} gathered[key] = list end
        for i = first, at - 1 do list[#list + 1] = ARGV[i] end
      elseif command then
        if n <= 4000 then call(command, key, unpack(ARGV, first, at - 1)) else each(command, key, first, at - 1) end
      elseif code == 'O' then
        outbox = call('XADD', ob, '*', 'b', ARGV[first])
      elseif code == 'P' then
        call('PUBLISH', ARGV[first], ARGV[first + 1])
      elseif code == 'G' then
        call('XADD', ev, '*', 'k', 'go', 'w', ARGV[first], 't', text, 'x', '', 'b', '')
      elseif code == 'A' then
        call('SET', key, ARGV[first], 'PX', 600000)
        call('PUBLISH', key, '1')
      elseif code == 'U' then
        local values, kept = call('HMGET', key, unpack(ARGV, first, at - 1)), {}
        for i = 1, n do
          if values[i] then
            kept[#kept + 1] = ARGV[first + i - 1]
            kept[#kept + 1] = values[i]
          end
        end
        call('UNLINK', key)
        call('HSET', key, unpack(kept))
      end
    end
    local last = math.min(last_field, first_field + 3999)
    call('HSET', w, 'v', version, unpack(ARGV, first_field, last))
    each('HSET', w, last + 1, last_field)
  end
  reply[#reply + 1] = verdicts[s]
  reply[#reply + 1] = outbox
end
if progressed and owner[3] and owner[3] ~= '0' then call('HSET', own, 'n', '0') end
if ARGV[3] == '1' then
  for i = 1, #settled do call('HDEL', own, 'try:' .. settled[i]) end
end
local function all(command, lists)
  for key, list in pairs(lists) do
    for i = 1, #list, 4000 do call(command, key, unpack(list, i, math.min(i + 3999, #list))) end
  end
end
all('ZADD', members.Z)
all('ZREM', members.R)
local head = call('ZRANGE', tm, 0, 0, 'WITHSCORES')
if head[2] then reply[3] = tonumber(head[2]) end
return reply
