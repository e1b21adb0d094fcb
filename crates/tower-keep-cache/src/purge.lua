-- One purge, the twin of `Generations::purged`. ARGV: the epoch if there is none yet, for how many
-- ms they live, `h` or `s` for a hard or a soft one, `a` for everything or `t` for the tags, 16
-- bytes each, in the next; the most marks; the channel and the message that says so, empty to tell
-- nobody: its last 16 bytes become the epoch and the version. Answers {epoch, version}.

local fresh, lasting, letter, what, tags = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, channel, message = tonumber(ARGV[6]), ARGV[7], ARGV[8]

-- A full server refuses no write after this: what must not be used any more can be said there too.
redis.call('PEXPIRE', KEY, lasting)
local epoch, version, floor, soft = head()
if not epoch then epoch, version, floor, soft = write(fresh, 0, 0, 0, lasting) end
version = version + 1

local function marks()
  local all, found = redis.call('HGETALL', KEY), {}
  for i = 1, #all, 2 do
    if string.find(all[i], '^[hs]') and #all[i] == 17 then
      found[#found + 1] = { all[i], number_of(all[i + 1]) or 0 }
    end
  end
  return found
end

local function prune()
  local found = marks()
  if #found <= most then return end
  table.sort(found, function(one, other) return one[2] < other[2] end)
  floor = math.max(floor, found[math.floor(#found / 2)][2])
  local gone = {}
  for _, mark in ipairs(found) do
    if mark[2] <= floor then gone[#gone + 1] = mark[1] end
    if #gone == 500 then
      redis.call('HDEL', KEY, unpack(gone))
      gone = {}
    end
  end
  if #gone > 0 then redis.call('HDEL', KEY, unpack(gone)) end
  redis.call('HSET', KEY, 'floor', floor)
end

if what == 'a' and letter == 'h' then
  write(epoch, version, version, soft, lasting)
elseif what == 'a' then
  redis.call('HSET', KEY, 'v', version, 'soft', version)
else
  local fields = { 'v', version }
  for i = 1, #tags, 16 do
    fields[#fields + 1] = letter .. string.sub(tags, i, i + 15)
    fields[#fields + 1] = version
  end
  redis.call('HSET', KEY, unpack(fields))
  if redis.call('HLEN', KEY) - 4 > most then prune() end
end

if message ~= '' then
  redis.pcall('PUBLISH', channel, string.sub(message, 1, -17) .. epoch .. struct.pack('>I8', version))
end
return { epoch, version }
