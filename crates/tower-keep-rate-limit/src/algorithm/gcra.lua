-- The generic cell rate algorithm (ITU-T I.371): a request is due one interval after the one
-- before, and may come early by as much as a full burst. Twin of gcra.rs.
--
-- `quota` is how many may come at once, `window` the interval between two, in us. Kept is the
-- text `@time`, the theoretical arrival time of the next request in us, or `@time+owed` where a late
-- cost has moved it further ahead than a full burst, by so many us. Whatever else stands under the
-- key counts as nothing.

local MAX_BURST = 1000000000000000 -- us: what no multiplication here may exceed

local function gcra()
  local function at(limit, _, value, _, now_us)
    limit.burst = min(limit.quota * limit.window, MAX_BURST)
    -- What is owed: as long as the counter is kept, at least the time of a full burst.
    limit.most_owed = max(limit.burst, min(limit.life * 1000, MAX_BURST))
    local arrival, owed = value and match(value, '^@(%d+)$'), 0
    if value and not arrival then
      arrival, owed = match(value, '^@(%d+)%+(%d+)$')
      owed = min(tonumber(owed) or 0, limit.most_owed)
    end
    limit.ahead = max((tonumber(arrival) or now_us) - now_us, 0)
    local most = max(limit.burst, owed)
    if limit.ahead > most then
      -- A limit of 0 admits nothing anyway, and forgets nothing.
      limit.ahead = most
      return limit.burst > 0
    end
  end

  local function wait(limit, cost)
    local over = limit.ahead + min(cost * limit.window, MAX_BURST) - limit.burst
    return over > 0 and ceil(over / 1000) or 0
  end

  -- Moves the arrival by `number` requests: never before now. A check moves it by no more than fits,
  -- a settlement never further than what may be owed.
  local function add(limit, number)
    local moved = max(-MAX_BURST, min(number * limit.window, MAX_BURST))
    local ahead = limit.ahead + moved
    if number > 0 then ahead = min(ahead, limit.most_owed) end
    limit.ahead = max(0, ahead)
  end

  local function spell(limit, _, now_us)
    local arrival = format('@%.0f', now_us + limit.ahead)
    if limit.ahead > limit.burst then arrival = arrival .. format('+%.0f', limit.ahead) end
    return arrival, max(limit.life, ceil(limit.ahead / 1000))
  end

  local function tell(limit)
    local remaining = floor((limit.burst - limit.ahead) / limit.window)
    return max(remaining, 0), ceil(limit.ahead / 1000)
  end

  return { at = at, wait = wait, add = add, spell = spell, tell = tell }
end
