#!lua flags=no-writes
-- walk_index: a page of one search index, the latest start first, and which of it stand in the other indexes too.
-- KEYS  the index that is walked, then the other indexes, group by group
-- ARGV  low high offset page wanted, then how many indexes each group has; an entry must be in one of every group
-- GIVES seen matched [member start ...] of the first wanted that match
-- SAFE TO REPEAT: yes, it writes nothing
local page = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[1], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
local members, misses = {}, {}
for i = 1, #page, 2 do members[#members + 1] = page[i] end
local key = 2
for group = 6, #ARGV do
  local stands = {}
  for _ = 1, #members > 0 and tonumber(ARGV[group]) or 0 do
    local scores = redis.call('ZMSCORE', KEYS[key], unpack(members))
    for i = 1, #members do stands[i] = stands[i] or scores[i] end
    key = key + 1
  end
  for i = 1, #members do misses[i] = misses[i] or not stands[i] end
end
local reply, matched, wanted = {#members, 0}, 0, tonumber(ARGV[5])
for i = 1, #members do
  if not misses[i] then
    matched = matched + 1
    if matched <= wanted then
      reply[#reply + 1] = members[i]
      reply[#reply + 1] = page[2 * i]
    end
  end
end
reply[2] = matched
return reply
