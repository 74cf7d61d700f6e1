-- The steps of core's limits, exact to the nanosecond: instants are a pair of seconds and nanoseconds, for one number
-- could not hold both. KEYS and ARGV belong to the script that follows.
local function instant(given)
  if given ~= '' then
    local s, ns = string.match(given, '^(%d+) (%d+)$')
    return tonumber(s), tonumber(ns)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]), tonumber(time[2]) * 1000
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Keeps a state until it is worth nothing, `millis` from now.
local function put(key, state, millis, keep)
  if keep == 'forever' then
    redis.call('SET', key, state)
  elseif keep then
    redis.call('SET', key, state, 'PX', math.ceil(millis) + 1)
  end
end

-- Generic cell rate: the state is the instant at which the bucket is full again.
local function bucket(key, s, ns, emission, depth, burst, cost, keep)
  local used, trimmed = 0, false
  local held = redis.call('GET', key)
  if held then
    local at_s, at_ns = string.match(held, '^(%d+) (%d+)$')
    if at_s then
      used = (tonumber(at_s) - s) * 1e9 + (tonumber(at_ns) - ns)
      trimmed = used > depth
      used = math.max(0, math.min(used, depth))
    end
  end
  local function store(wanted)
    local at_ns = ns + wanted
    put(key, whole(s + math.floor(at_ns / 1e9)) .. ' ' .. whole(at_ns % 1e9), wanted / 1e6, keep)
  end
  local wanted = used + emission * cost
  if wanted > depth then
    if trimmed then
      store(used)
    end
    local missing = wanted - depth
    if cost > burst then
      missing = used
    end
    return false, missing, math.floor((depth - used) / emission)
  end
  store(wanted)
  return true, 0, math.floor((depth - wanted) / emission)
end

-- Sliding window: when it began (microseconds), what was counted in it, and in the one before; moved so that `now` lies
-- in it.
local function moved(held, now, period_us)
  local at, current, previous = 0, 0, 0
  if held then
    local a, c, p = string.match(held, '^(%d+) (%d+) (%d+)$')
    if a then
      at, current, previous = tonumber(a), tonumber(c), tonumber(p)
    end
  end
  local age = math.max(0, now - at)
  if age >= 2 * period_us then
    return now, 0, 0
  elseif age >= period_us then
    return at + period_us, 0, current
  end
  return math.min(at, now + period_us), current, previous
end

local function window(key, s, ns, count, period_us, cost, keep)
  local now = s * 1e6 + math.floor(ns / 1e3)
  local at, current, previous = moved(redis.call('GET', key), now, period_us)
  local elapsed = math.min(math.max(0, now - at), period_us)
  local used = math.ceil(previous * (period_us - elapsed) / period_us) + current
  local function share(part, total)
    if total == 0 then
      return 0
    end
    return math.floor(period_us * 1000 * part / total)
  end
  -- Nanoseconds into a window after which at most `room` of `earlier` still counts.
  local function until_room(earlier, room)
    if earlier <= room then
      return 0
    end
    return period_us * 1000 - share(room, earlier)
  end
  local fits = used + cost <= count
  local counted = current
  if fits then
    counted = current + cost
  end
  put(key, whole(at) .. ' ' .. whole(counted) .. ' ' .. whole(previous), (at + 2 * period_us - now) / 1e3, keep)
  if fits then
    return true, 0, count - used - cost
  end
  local to_next = (period_us - elapsed) * 1000
  local wait
  if cost > count then
    wait = to_next + period_us * 1000
  elseif count - cost >= current then
    wait = math.max(0, until_room(previous, count - cost - current) - elapsed * 1000)
  else
    wait = to_next + until_room(current, count - cost)
  end
  return false, wait, math.max(0, count - used)
end

-- Whether an event fits, how many nanoseconds to wait, and how many more would fit. `spec` is `-` for no limit,
-- `b emission depth burst` or `w count period_us`. `keep` counts it; with `forever` the state outlives its use, for
-- callers with a clock of their own.
local function check(spec, key, s, ns, cost, keep)
  local kind, a, b, c = string.match(spec, '^(%S+) ?(%d*) ?(%d*) ?(%d*)$')
  if kind == 'b' then
    return bucket(key, s, ns, tonumber(a), tonumber(b), tonumber(c), cost, keep)
  elseif kind == 'w' then
    return window(key, s, ns, tonumber(a), tonumber(b), cost, keep)
  end
  return true, 0, -1
end
