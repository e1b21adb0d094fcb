-- What the scripts share that keep a holder's sessions in one hash, KEYS[1]: a field for each
-- session, by its public id. Its value is a header (format 1; version, created, expires, seen and
-- idle time as 8 bytes each, highest first; 16 bytes of origin) and a msgpack map from names to
-- values. What is not that is not there; `remove.lua` leaves something else for a while. `apply.rs` is the twin of what is decided here.

local KEY = KEYS[1]
local FORMAT, NUMBERS, CREATED, IDLE, ORIGIN, VALUES = 1, 2, 10, 34, 42, 58
local LONGEST_NAME = 128
-- Numbers are exact up to here.
local LAST = 9007199254740991

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function is_text(name)
  if not string.find(name, '[\128-\255]') then return true end
  for _, sequence in ipairs({
    '[\194-\223][\128-\191]',
    '\224[\160-\191][\128-\191]',
    '[\225-\236\238\239][\128-\191][\128-\191]',
    '\237[\128-\159][\128-\191]',
    '\240[\144-\191][\128-\191][\128-\191]',
    '[\241-\243][\128-\191][\128-\191][\128-\191]',
    '\244[\128-\143][\128-\191][\128-\191]',
  }) do
    name = string.gsub(name, sequence, 'x')
  end
  return not string.find(name, '[\128-\255]')
end

-- The one thing that a library call gave, if it did not fail.
local function only(ok, ...)
  if ok and select('#', ...) == 1 then return (...) end
end

-- How many entries a map, or an array, says it has.
local function declared(value)
  local kind = string.byte(value, VALUES)
  if kind < 160 then return kind % 16 end
  return (struct.unpack((kind == 220 or kind == 222) and '>I2' or '>I4', value, VALUES + 1))
end

-- How many bytes tell the length after these markers: of bytes, which the server's library does not
-- know, and of text.
local BYTES = { [196] = 1, [197] = 2, [198] = 4 }
local TEXTS = { [217] = 1, [218] = 2, [219] = 4 }

-- The text at this place, or the bytes where they may be, and what place comes after.
local function text_at(value, at, may_be_bytes)
  local kind = string.byte(value, at) or 0
  local told = TEXTS[kind] or may_be_bytes and BYTES[kind]
  local start, length = at + 1, kind - 160
  if told then
    start = start + told
    if start > #value + 1 then return nil end
    length = struct.unpack('>I' .. told, value, at + 1)
  elseif kind < 160 or kind > 191 then
    return nil
  end
  if start + length > #value + 1 then return nil end
  return string.sub(value, start, start + length - 1), start + length
end

-- The map of names to values some of which are bytes.
local function with_bytes(value)
  local kind = string.byte(value, VALUES)
  local at = VALUES + (kind == 222 and 3 or kind == 223 and 5 or 1)
  if at > #value or not (kind >= 128 and kind < 144 or kind == 222 or kind == 223) then return nil end
  local values = {}
  while at <= #value do
    local name, held
    name, at = text_at(value, at)
    if not name then return nil end
    held, at = text_at(value, at, true)
    if not held or values[name] then return nil end
    values[name] = held
  end
  return values
end

local function values_of(value)
  local values = only(pcall(cmsgpack.unpack, string.sub(value, VALUES)))
  if type(values) ~= 'table' then values = with_bytes(value) end
  if not values then return nil end
  local entries = 0
  for name, held in pairs(values) do
    if type(name) ~= 'string' or type(held) ~= 'string' then return nil end
    if name == '' or #name > LONGEST_NAME or not is_text(name) then return nil end
    entries = entries + 1
  end
  -- A name that is there twice, or whose value is nothing, is not seen above.
  if entries == declared(value) then return values end
end

-- The session of this value, if it is one and has not ended, without a look at what it holds; and
-- whether it has ended. What is not changed stays as it is written, however large.
local function header_of(value)
  if type(value) ~= 'string' or #value < VALUES or string.byte(value) ~= FORMAT then return nil end
  local it = {}
  it.high, it.low, it.created, it.expires, it.seen, it.idle =
    struct.unpack('>I4I4I8I8I8I8', value, NUMBERS)
  it.created_bytes = string.sub(value, CREATED, CREATED + 7)
  it.idle_bytes = string.sub(value, IDLE, IDLE + 7)
  it.origin = string.sub(value, ORIGIN, VALUES - 1)
  if it.expires > now then return it end
  return nil, true
end

-- The same with what it holds.
local function session_of(value)
  local it, ended = header_of(value)
  if not it then return nil, ended end
  it.values = values_of(value)
  it.body = string.sub(value, VALUES)
  if it.values then return it end
end

-- What is in a field. A key of another type has none, which is told beside.
local function read(field)
  local value = redis.pcall('HGET', KEY, field)
  if type(value) ~= 'table' then return value end
  if string.find(value.err, 'WRONGTYPE', 1, true) then return false, true end
  return redis.call('HGET', KEY, field)
end

-- All fields and their values, one after the other.
local function read_all()
  local all = redis.pcall('HGETALL', KEY)
  if not all.err then return all end
  if string.find(all.err, 'WRONGTYPE', 1, true) then return {} end
  return redis.call('HGETALL', KEY)
end

-- It is used now, and ends no later than so long after it was made. Whether there is something
-- left to use.
local function touch(it, absolute)
  it.seen = now
  it.expires = math.min(now + it.idle, LAST)
  if absolute then it.expires = math.min(it.expires, it.created + absolute) end
  return it.expires > now
end

local function made_at(it, moment)
  it.created, it.created_bytes = moment, struct.pack('>I8', moment)
end

local function lies_idle(it, time)
  it.idle, it.idle_bytes = time, struct.pack('>I8', time)
end

local function spell(it)
  return struct.pack('>BI4I4', FORMAT, it.high, it.low)
    .. it.created_bytes
    .. struct.pack('>I8I8', it.expires, it.seen)
    .. it.idle_bytes
    .. it.origin
end

local function live_until(moment)
  redis.call('PEXPIRE', KEY, string.format('%.0f', math.max(moment - now, 0)))
end

-- The key lives until the last of these sessions has ended, and at least until then.
local function live_as_long_as(all, least)
  local latest = least or 0
  for i = 2, #all, 2 do
    local it = header_of(all[i])
    if it then latest = math.max(latest, it.expires) end
  end
  live_until(latest)
end

-- The key lives at least until then; exactly, where nobody else's session is in it.
local function live_with(it)
  local left = redis.call('PTTL', KEY)
  if redis.call('HLEN', KEY) == 1 or (left >= 0 and now + left < it.expires) then
    live_until(it.expires)
  elseif left < 0 then
    live_as_long_as(read_all())
  end
end

-- Tells all processes, if there is something to tell it with. Whether it was told.
local function publish(channel, message)
  if message == '' then return 0 end
  local told = redis.pcall('PUBLISH', channel, message)
  return type(told) == 'number' and 1 or 0
end
