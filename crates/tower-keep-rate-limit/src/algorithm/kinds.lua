-- Which algorithm a limit has, by its letter: `f`ixed window, `s`liding window, `g`cra.

local function at(limit, key, value, now, now_us)
  if limit.kind == 'f' then
    fixed_window_at(limit, key, value, now)
  elseif limit.kind == 's' then
    sliding_window_at(limit, key, value, now)
  else
    gcra_at(limit, key, value, now_us)
  end
end

-- How many ms until the cost fits: 0 now, -1 never.
local function wait(limit, now)
  if limit.cost == 0 then return 0 end
  if limit.cost > limit.quota then return -1 end
  if limit.kind == 'f' then return fixed_window_wait(limit, now) end
  if limit.kind == 's' then return sliding_window_wait(limit, now) end
  return gcra_wait(limit)
end

local function add(limit, number)
  if limit.kind == 'f' then
    fixed_window_add(limit, number)
  elseif limit.kind == 's' then
    sliding_window_add(limit, number)
  else
    gcra_add(limit, number)
  end
end

local function spell(limit, now, now_us)
  if limit.kind == 'f' then return fixed_window_spell(limit, now) end
  if limit.kind == 's' then return sliding_window_spell(limit, now) end
  return gcra_spell(limit, now_us)
end

-- How many more fit, and in how many ms there is nothing more to wait for.
local function tell(limit, now)
  if limit.kind == 'f' then return fixed_window_tell(limit, now) end
  if limit.kind == 's' then return sliding_window_tell(limit, now) end
  return gcra_tell(limit)
end
