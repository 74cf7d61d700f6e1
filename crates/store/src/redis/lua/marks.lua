-- What nodes tell each other of sources and of floods, and what is new since a version. KEYS: marks (hash), ends (zset),
-- log (zset by version), version, epoch, floods (hash by node). ARGV: a name for this memory where it has none, the version
-- known, most marks, most changes, half-life of points in ms, this node, its rates or '', how long rates hold in ms; then
-- three for each word: kind, name, text. Kinds: `add` and `raise` points of a score, `wait` a standing on the ladder as
-- `left step forgive`, `forget`. Gives epoch, version, changes as name, version, text, nodes heard of, the sum of their
-- rates.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local marks_max, half_life = tonumber(ARGV[3]), tonumber(ARGV[5])

local function whole(number)
  return string.format('%.0f', number)
end

local function numbers(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do
    found[#found + 1] = tonumber(word) or 0
  end
  return found
end

local function drop(name)
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  drop(name)
end

-- Points as they are at present.
local function points(held)
  local found = held and numbers(held) or { now }
  local at = table.remove(found, 1) or now
  local faded = 2 ^ (-math.max(0, now - at) / half_life)
  for i = 1, #found do
    found[i] = found[i] * faded
  end
  return found
end

-- Where there is no room the mark that ends first leaves, never one that lasts longer than the newcomer.
local function keep(name, held, text, ends)
  if not held and redis.call('HLEN', KEYS[1]) >= marks_max then
    local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) >= ends then
      return
    end
    drop(first[1])
  end
  redis.call('HSET', KEYS[1], name, text)
  redis.call('ZADD', KEYS[2], whole(ends), name)
  redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), name)
end

local function score(name, kind, text)
  local held = redis.call('HGET', KEYS[1], name)
  local sum, all = points(held), 0
  for i, more in ipairs(numbers(text)) do
    local has = sum[i] or 0
    sum[i] = kind == 'add' and math.min(has + more, 1e6) or math.max(has, more)
    all = all + sum[i]
  end
  for i = 1, #sum do
    sum[i] = string.format('%.3f', sum[i])
  end
  -- Half a point is worth nothing.
  local lasts = half_life * math.log(math.max(all, 0.5) / 0.5) / math.log(2)
  keep(name, held, whole(now) .. ' ' .. table.concat(sum, ' '), now + lasts)
end

local function wait(name, text)
  local left, step, forgive = unpack(numbers(text))
  local ends = now + left + step * forgive
  local held = redis.call('HGET', KEYS[1], name)
  if ends > now and not (held and numbers(held)[1] >= now + left) then
    keep(name, held, whole(now + left) .. ' ' .. whole(step) .. ' ' .. whole(forgive), ends)
  end
end

for i = 9, #ARGV, 3 do
  local kind, name, text = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kind == 'forget' then
    drop(name)
  elseif kind == 'wait' then
    wait(name, text)
  else
    score(name, kind, text)
  end
end

local epoch = redis.call('GET', KEYS[5])
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', KEYS[5], epoch)
end
local version, changes = tonumber(redis.call('GET', KEYS[4]) or '0'), {}
local log = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
for i = 1, #log, 2 do
  local text = redis.call('HGET', KEYS[1], log[i]) or ''
  if string.sub(log[i], 1, 1) == 's' then
    local sum = points(text)
    for at = 1, #sum do
      sum[at] = string.format('%.3f', sum[at])
    end
    text = table.concat(sum, ' ')
  else
    local till, step, forgive = unpack(numbers(text))
    text = whole((till or now) - now) .. ' ' .. whole(step or 0) .. ' ' .. whole(forgive or 0)
  end
  changes[#changes + 1] = { log[i], tonumber(log[i + 1]), text }
end

if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[6], ARGV[6], whole(now) .. ' ' .. ARGV[7])
end
local nodes, rates = 0, { 0, 0, 0, 0 }
local told = redis.call('HGETALL', KEYS[6])
for i = 1, #told, 2 do
  local said = numbers(told[i + 1])
  if now - (said[1] or 0) > tonumber(ARGV[8]) then
    redis.call('HDEL', KEYS[6], told[i])
  elseif told[i] ~= ARGV[6] then
    nodes = nodes + 1
    for at = 1, 4 do
      rates[at] = rates[at] + (said[at + 1] or 0)
    end
  end
end
for at = 1, 4 do
  rates[at] = whole(rates[at])
end

-- Nothing stays when nobody is there.
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
local ttl = math.max(0, (tonumber(last[2] or '0') or 0) - now) + 60000
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, whole(ttl))
end
return { epoch, version, changes, nodes, rates }
