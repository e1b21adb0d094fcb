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
-- one, so that nobody is locked out for ever. A counter that several checks ask about is read once
-- and written once, at the end.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = floor(now_us / 1000)
local values = call('MGET', unpack(KEYS))
local seen = {} -- by key, the limit as it stands by now
local limits = {} -- of one check
local reply, key = {}, 0

-- Writes a limit as it stands by now, and answers what is kept of it.
local function write(name, limit)
  local text, life = limit.by.spell(limit, now, now_us)
  call('SET', name, text, 'PX', format('%.0f', max(life, 1)))
  return text
end

for nth, check in ipairs(ARGV) do
  local count, blocks = string.byte(check, 1, 2)
  local allowed, blocked, place = true, 0, 3
  for i = 1, count do
    local name = KEYS[key + i]
    local kind, quota, window, life, cost
    kind, quota, window, life, cost, place = struct.unpack('>c1dddd', check, place)
    local limit = seen[name]
    if
      not limit or limit.kind ~= kind or limit.quota ~= quota or limit.window ~= window
      or limit.life ~= life
    then
      local value = values[key + i]
      -- Asked about by other terms before, it is as they left it.
      if limit then value = limit.changed and write(name, limit) or limit.value end
      local by = of(kind)
      limit = {
        by = by, kind = kind, quota = quota, window = window, life = life, value = value, cost = 0,
        wait = 0, count = 0, start = 0, changed = false,
      }
      seen[name] = limit
      limit.changed = by.at(limit, name, value, now, now_us) or false
    end
    local wait = 0
    if cost > 0 then wait = cost > quota and -1 or limit.by.wait(limit, cost, now) end
    -- A letter in lower case.
    if wait ~= 0 and kind > 'Z' then allowed = false end
    limits[i], limit.cost, limit.wait = limit, cost, wait
  end
  for i = key + count + 1, key + count + blocks do
    local ends = values[i] and match(values[i], '^%d+$')
    if ends then blocked = max(blocked, min(tonumber(ends) - now, MAX_COUNT)) end
  end
  key = key + count + blocks

  local code = 0
  if blocked > 0 then
    allowed, code = false, -blocked
  elseif allowed then
    code = 1
  end
  local said = struct.pack('>dd', code, now)
  for i = 1, count do
    local limit = limits[i]
    local by, wait, cost = limit.by, limit.wait, limit.cost
    if allowed and wait == 0 and cost > 0 then
      by.add(limit, cost)
      limit.changed = true
    end
    local remaining, resets = by.tell(limit, now)
    said = said .. struct.pack('>ddd', remaining, resets, wait)
  end
  reply[nth] = said
end

for name, limit in pairs(seen) do
  if limit.changed then
    write(name, limit)
  elseif limit.value and call('PTTL', name) == -1 then
    local _, life = limit.by.spell(limit, now, now_us)
    call('PEXPIRE', name, format('%.0f', life))
  end
end
return table.concat(reply)
