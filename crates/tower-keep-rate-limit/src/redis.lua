-- Decides checks of up to 8 limits each, one after another, each all or nothing, by the server's
-- own clock.
--
-- KEYS: for each check the counters of its limits, and after them the keys of blocks. In a cluster
-- all are in one slot.
-- ARGV: one for each check, packed: how many limits and how many blocks it has, a byte each, then
-- for each limit its kind, a letter, and quota, window, life of its key in ms and cost, as doubles.
-- A kind in upper case is a limit that is watched only: it denies nothing, and counts what it would
-- have admitted.
-- Answers doubles, packed, for each check behind the one before: code, now_ms, and for each limit
-- remaining, resets_in_ms, wait_ms. The code is 1 when admitted, 0 when denied, and -n when blocked
-- for n ms more. A wait is 0 where the cost fitted, and -1 where it never will.
--
-- A denial consumes nothing and extends nothing, but gives a counter that lost its expiry a new
-- one, so that nobody is locked out for ever. Counters are written at the end, each once.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local values = redis.call('MGET', unpack(KEYS))
local texts, lives = {}, {} -- by key, what is to be written
local reply, key = {}, 0

for nth, check in ipairs(ARGV) do
  local count, blocks = string.byte(check, 1, 2)
  local limits, allowed, blocked, place = {}, true, 0, 3
  for i = 1, count do
    local name = KEYS[key + i]
    local kind, quota, window, life, cost
    kind, quota, window, life, cost, place = struct.unpack('>c1dddd', check, place)
    local by = of(string.lower(kind))
    local limit = {
      by = by, name = name, value = texts[name] or values[key + i], quota = quota, window = window,
      life = life, cost = cost, wait = 0, count = 0, start = 0, stale = false,
    }
    by.at(limit, name, limit.value, now, now_us)
    if cost > quota and cost > 0 then
      limit.wait = -1
    elseif cost > 0 then
      limit.wait = by.wait(limit, now)
    end
    -- A letter in lower case.
    if limit.wait ~= 0 and kind > 'Z' then allowed = false end
    limits[i] = limit
  end
  for i = key + count + 1, key + count + blocks do
    local ends = values[i] and string.match(values[i], '^%d+$')
    if ends then blocked = math.max(blocked, math.min(tonumber(ends) - now, MAX_COUNT)) end
  end
  key = key + count + blocks

  local code = 0
  if blocked > 0 then
    allowed, code = false, -blocked
  elseif allowed then
    code = 1
  end
  local said = struct.pack('>dd', code, now)
  for _, limit in ipairs(limits) do
    local by, name = limit.by, limit.name
    local counted = allowed and limit.wait == 0 and limit.cost > 0
    if counted then by.add(limit, limit.cost) end
    if counted or limit.stale then
      texts[name], lives[name] = by.spell(limit, now, now_us)
    elseif limit.value and not texts[name] and redis.call('PTTL', name) == -1 then
      local _, life = by.spell(limit, now, now_us)
      redis.call('PEXPIRE', name, string.format('%.0f', life))
    end
    local remaining, resets = by.tell(limit, now)
    said = said .. struct.pack('>ddd', remaining, resets, limit.wait)
  end
  reply[nth] = said
end

for name, text in pairs(texts) do
  redis.call('SET', name, text, 'PX', string.format('%.0f', math.max(lives[name], 1)))
end
return table.concat(reply)
