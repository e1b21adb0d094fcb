-- What the scripts share that keep a tenant's generations in one hash, KEYS[1]. Its fields: `epoch`
-- (8 bytes); `v`, `floor` and `soft` as in `Generations`; and for each tag that was purged `h` or
-- `s` and its 16 bytes: the version of its last hard or soft purge. What is not that is not there.

local KEY = KEYS[1]
-- Numbers are exact up to here.
local LAST = 9007199254740991

local function number_of(text)
  if type(text) ~= 'string' or #text > 16 or not string.find(text, '^%d+$') then return nil end
  local number = tonumber(text)
  if number < LAST then return number end
end

-- Its epoch, version, floor and soft, if it is there.
local function head()
  local fields = redis.pcall('HMGET', KEY, 'epoch', 'v', 'floor', 'soft')
  if fields.err then
    if string.find(fields.err, 'WRONGTYPE', 1, true) then return nil end
    return redis.call('HMGET', KEY, 'epoch', 'v', 'floor', 'soft')
  end
  local epoch = fields[1]
  local version, floor, soft = number_of(fields[2]), number_of(fields[3]), number_of(fields[4])
  if type(epoch) == 'string' and #epoch == 8 and version and floor and soft then
    return epoch, version, floor, soft
  end
end

local function write(epoch, version, floor, soft, lasting)
  redis.call('DEL', KEY)
  redis.call('HSET', KEY, 'epoch', epoch, 'v', version, 'floor', floor, 'soft', soft)
  redis.call('PEXPIRE', KEY, lasting)
  return epoch, version, floor, soft
end
