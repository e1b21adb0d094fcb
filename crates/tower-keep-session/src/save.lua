-- Makes, changes or renames a session, all or nothing.
--
-- ARGV: 1 its field; 2 the field that it has now, empty if it is to be made; 3 the origin of one that
-- is made; 4 its idle time in ms, empty to leave it as it was; 5 how long after it was made it ends
-- at the latest in ms, empty for never; 6 1 if it counts as made now, and for one that is made the 8 bytes of
-- the moment at which it counts as made, empty for now; 7 how many sessions there may
-- be; 8 how many bytes it may hold; 9 1 if all that it held goes; 10 what is set, a map; 11 what
-- goes, names; 12 what is expected, a map; 13 what is expected to be absent, names; 14 the channel
-- and 15 the message that says of the session whose id is its last 16 bytes that it was removed,
-- empty to tell nobody.
-- Answers {0 done, header, told, ids removed}, {1 gone}, {2 conflict, value}, {3 too large} or
-- {4 exists}.

local DONE, GONE, CONFLICT, TOO_LARGE, EXISTS = 0, 1, 2, 3, 4
local field, from, making = ARGV[1], ARGV[2], ARGV[2] == ''
local idle, absolute = tonumber(ARGV[4]), tonumber(ARGV[5])
local set, removed = cmsgpack.unpack(ARGV[10]), cmsgpack.unpack(ARGV[11])
local expected, absent = cmsgpack.unpack(ARGV[12]), cmsgpack.unpack(ARGV[13])

-- The bytes of a public id; nothing if the field is no id.
local function bytes_of(id)
  local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  local bytes, kept, bits = {}, 0, 0
  for letter in string.gmatch(id, '.') do
    local number = string.find(letters, letter, 1, true)
    if not number then return nil end
    kept, bits = kept * 64 + number - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      bytes[#bytes + 1] = string.char(math.floor(kept / 2 ^ bits))
      kept = kept % 2 ^ bits
    end
  end
  return #id == 22 and table.concat(bytes) or nil
end

-- Removes what has ended, then those unused for longest, but never this one. Who was removed.
local function make_room(this, most)
  if redis.call('HLEN', KEY) <= most then
    live_with(this)
    return {}
  end
  local all, others = read_all(), {}
  for i = 1, #all, 2 do
    local id, it = all[i], header_of(all[i + 1])
    if not it then
      redis.call('HDEL', KEY, id)
    elseif id ~= field then
      it.id = id
      others[#others + 1] = it
    end
  end
  table.sort(others, function(a, b)
    if a.seen ~= b.seen then return a.seen < b.seen end
    if a.created ~= b.created then return a.created < b.created end
    return a.id < b.id
  end)
  local evicted, latest = {}, this.expires
  for i, it in ipairs(others) do
    if i <= #others + 1 - most then
      redis.call('HDEL', KEY, it.id)
      evicted[#evicted + 1] = bytes_of(it.id)
    else
      latest = math.max(latest, it.expires)
    end
  end
  live_until(latest)
  return evicted
end

if field ~= from and session_of((read(field))) then return { EXISTS } end
local value, foreign = read(making and field or from)
local it, ended
if making then
  if next(expected) then return { GONE } end
  it = { high = 0, low = 0, origin = ARGV[3], values = {}, body = '\128' }
  made_at(it, ARGV[6] == '' and now or math.min(now, (struct.unpack('>I8', ARGV[6]))))
else
  it, ended = session_of(value)
end
if it and idle then lies_idle(it, idle) end
if it and not making and ARGV[6] == '1' then made_at(it, now) end
-- One that is made for no time is there for no time.
if it and not touch(it, absolute) and (not making or ARGV[6] ~= '') then ended = true end
if ended and not making then redis.call('HDEL', KEY, from) end
if ended or not it then return { GONE } end
for name, held in pairs(expected) do
  if it.values[name] ~= held then return { CONFLICT, value } end
end
for _, name in ipairs(absent) do
  if it.values[name] then return { CONFLICT, value } end
end

local clears = ARGV[9] == '1'
if clears or next(set) or next(removed) then
  if clears then it.values = {} end
  for _, name in ipairs(removed) do it.values[name] = nil end
  for name, held in pairs(set) do it.values[name] = held end
  it.body = cmsgpack.pack(it.values)
end
local bytes = 0
for name, held in pairs(it.values) do bytes = bytes + #name + #held end
if bytes > tonumber(ARGV[8]) then return { TOO_LARGE } end

it.low = it.low + 1
if it.low == 4294967296 then
  if it.high == 4294967295 then it.low = it.low - 1 else it.high, it.low = it.high + 1, 0 end
end
local header = spell(it)
if foreign then
  -- Refused as a key of another type, or before that where there is no memory for it: then nothing
  -- has changed.
  local tried = redis.pcall('HSET', KEY, field, '')
  if not string.find(tried.err, 'WRONGTYPE', 1, true) then redis.call('HSET', KEY, field, '') end
  redis.call('DEL', KEY)
end
-- The first write to what is ours: where there is no memory for it, nothing has changed.
redis.call('HSET', KEY, field, header .. it.body)
if not making and field ~= from then redis.call('HDEL', KEY, from) end
local evicted = {}
if making then evicted = make_room(it, math.max(tonumber(ARGV[7]), 1)) else live_with(it) end
local told = 1
for _, id in ipairs(evicted) do
  local message = ARGV[15] == '' and '' or string.sub(ARGV[15], 1, -17) .. id
  told = math.min(told, publish(ARGV[14], message))
end
return { DONE, header, told, table.concat(evicted) }
