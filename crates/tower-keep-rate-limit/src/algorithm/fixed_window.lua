-- The fixed window, anchored at a group's first hit. Twin of fixed_window.rs.
--
-- A counter is kept as text, `count window_start_ms`. The window ends by arithmetic, never by
-- expiry. A bare integer is somebody's own INCR: its expiry tells where its window ends. Whatever
-- else stands under the key counts as nothing.

local MAX_COUNT = 9007199254740991 -- 2^53 - 1, the last integer that a double holds exactly

-- The window open at `now`: {count, start, stale}. `stale`: what is stored must be rewritten even
-- if the request is denied, or its window would never end when it was said to.
local function fixed_window(key, value, length, now)
  if not value then return { 0, now, false } end
  local count, start = string.match(value, '^(%d+) (%d+)$')
  if count then
    count, start = math.min(tonumber(count), MAX_COUNT), tonumber(start)
    if start > now then return { count, now, true } end
    if now - start < length then return { count, start, false } end
  elseif string.match(value, '^%d+$') then
    count = math.min(tonumber(value), MAX_COUNT)
    local expiry = redis.call('PTTL', key)
    if expiry == -1 or expiry > length then return { count, now, true } end
    -- In its last millisecond a key is still there, with nothing left to wait for.
    if expiry > 0 then return { count, now - (length - expiry), false } end
  end
  return { 0, now, false }
end
