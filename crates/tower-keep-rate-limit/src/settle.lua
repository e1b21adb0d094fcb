-- Corrects what was counted before its cost was known, by the server's own clock.
--
-- KEYS[i]: the counter of limit i. ARGV: for each limit kind, quota, window, life of its key in ms,
-- the difference, and the window that it was counted in: the window's start in ms, or for `g` the
-- moment in ms. What was counted in another window is not touched; for `g`, what more it cost is owed as
-- long as its key lives, and what less comes back within the time of a full burst.
-- Answers how many counters were changed.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = floor(now_us / 1000)
local values = call('MGET', unpack(KEYS))
local changed = 0

for i, key in ipairs(KEYS) do
  local a = 6 * i
  local by = of(ARGV[a - 5])
  local limit = {
    quota = tonumber(ARGV[a - 4]), window = tonumber(ARGV[a - 3]),
    life = tonumber(ARGV[a - 2]),
  }
  local difference, window = tonumber(ARGV[a - 1]), tonumber(ARGV[a])
  local value = values[i]
  by.at(limit, key, value, now, now_us)
  local same = value and limit.start == window
  if limit.burst then
    local counts = difference > 0 and limit.most_owed or limit.burst
    same = max(now - window, 0) * 1000 < counts
  end
  if same then
    by.add(limit, difference)
    local text, life = by.spell(limit, now, now_us)
    call('SET', key, text, 'PX', format('%.0f', life))
    changed = changed + 1
  end
end
return changed
