-- Decides up to 8 limits at once, all or nothing, by the server's own clock.
--
-- KEYS[i]: the counter of limit i; after them, keys of blocks. All in one slot.
-- ARGV: for each limit kind, quota, window, life of its key in ms, cost. A kind in upper case is a
-- limit that is watched only: it denies nothing, and counts what it would have admitted.
-- Answers {code, now_ms, remaining_1, resets_in_ms_1, wait_ms_1, ...}. The code is 1 when admitted,
-- 0 when denied, and -n when blocked for n ms more. A wait is 0 where the cost fitted, and -1
-- where it never will.
--
-- A denial consumes nothing and extends nothing, but gives a counter that lost its expiry a new
-- one, so that nobody is locked out for ever.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local values = redis.call('MGET', unpack(KEYS))
local limits, allowed, blocked = {}, true, 0

for i = 1, #ARGV / 5 do
  local a = 5 * i
  local kind = ARGV[a - 4]
  local limit = {
    kind = string.lower(kind), quota = tonumber(ARGV[a - 3]), window = tonumber(ARGV[a - 2]),
    life = tonumber(ARGV[a - 1]), cost = tonumber(ARGV[a]), stale = false,
  }
  at(limit, KEYS[i], values[i], now, now_us)
  limit.wait = wait(limit, now)
  if limit.wait ~= 0 and limit.kind == kind then allowed = false end
  limits[i] = limit
end
for i = #limits + 1, #KEYS do
  local ends = values[i] and string.match(values[i], '^%d+$')
  if ends then blocked = math.max(blocked, tonumber(ends) - now) end
end

local code = 0
if blocked > 0 then
  allowed, code = false, -blocked
elseif allowed then
  code = 1
end
local reply = { code, now }
for i, limit in ipairs(limits) do
  local counted = allowed and limit.wait == 0 and limit.cost > 0
  if counted then add(limit, limit.cost) end
  if counted or limit.stale then
    local text, life = spell(limit, now, now_us)
    redis.call('SET', KEYS[i], text, 'PX', string.format('%.0f', life))
  elseif values[i] and redis.call('PTTL', KEYS[i]) == -1 then
    local _, life = spell(limit, now, now_us)
    redis.call('PEXPIRE', KEYS[i], string.format('%.0f', life))
  end
  local place = 3 * i
  reply[place], reply[place + 1] = tell(limit, now)
  reply[place + 2] = limit.wait
end
return reply
