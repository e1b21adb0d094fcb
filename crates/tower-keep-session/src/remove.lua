-- Ends sessions: with ARGV[1] `o` the one in the field ARGV[2], with `m` that one because its client
-- has another one now, with `b` all but that, with `a` all.
-- ARGV[3] is the channel and ARGV[4] the message that says so, empty to tell nobody. Where one has
-- moved, a mark is left for ARGV[5] ms: a byte 0, and until when it holds as 8 bytes. It moves only
-- if it is of the version ARGV[6], 8 bytes, if there are any.
-- Answers {how many had not ended, told}, or {0, its value} of one that is of another version.

local which, field = ARGV[1], ARGV[2]
local ended = 0

-- Whether there is memory for a mark.
local function leaves_mark(ends)
  local put = redis.pcall('HSET', KEY, field, struct.pack('>BI8', 0, ends))
  return type(put) == 'number'
end

if which == 'a' then
  redis.call('DEL', KEY)
  return { 0, publish(ARGV[3], ARGV[4]) }
elseif which == 'o' or which == 'm' then
  local value = read(field)
  if not value then return { 0, 0 } end
  local it, ends = session_of(value), now + tonumber(ARGV[5])
  local version = string.sub(value, NUMBERS, CREATED - 1)
  if it and ARGV[6] ~= '' and ARGV[6] ~= version then return { 0, value } end
  if it and which == 'm' and leaves_mark(ends) then
    ended = 1
    live_as_long_as(read_all(), ends)
  else
    -- A mark that is there stays.
    if which == 'o' or string.byte(value) ~= 0 then redis.call('HDEL', KEY, field) end
    if it then
      ended = 1
      -- It may have been the last to end. What it was that the key lived for is known but for the
      -- millisecond.
      local left = redis.call('PTTL', KEY)
      if left >= 0 and now + left <= it.expires + 1 then live_as_long_as(read_all()) end
    end
  end
else
  local all, kept = read_all(), {}
  for i = 1, #all, 2 do
    if all[i] == field then
      kept = { all[i], all[i + 1] }
    else
      if session_of(all[i + 1]) then ended = ended + 1 end
      redis.call('HDEL', KEY, all[i])
    end
  end
  if kept[1] then live_as_long_as(kept) end
end
return { ended, ended > 0 and publish(ARGV[3], ARGV[4]) or 0 }
