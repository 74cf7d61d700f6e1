-- Puts words on the lists; of two on one matter the later one stands, and taking back wins a tie.
-- KEYS: entries (hash), log (zset by version), ends (zset by end), version. ARGV: most entries, then for each word:
-- name, at, gone, until, body. Gives how many words stand.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
end
local room = tonumber(ARGV[1]) - redis.call('HLEN', KEYS[1])
local taken = 0
for i = 2, #ARGV, 5 do
  local name, at, gone, ends, body = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local stands = true
  local held = redis.call('HGET', KEYS[1], name)
  if held then
    local held_at, held_gone = string.match(held, '^(%d+) ([01]) ')
    if held_at == at then
      stands = gone == '1' and held_gone == '0'
    else
      stands = tonumber(at) > tonumber(held_at)
    end
  elseif room <= 0 then
    stands = false
  else
    room = room - 1
  end
  if stands then
    redis.call('HSET', KEYS[1], name, at .. ' ' .. gone .. ' ' .. ends .. ' ' .. body)
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[4]), name)
    if ends == '0' then
      redis.call('ZREM', KEYS[3], name)
    else
      redis.call('ZADD', KEYS[3], ends, name)
    end
    taken = taken + 1
  end
end
return taken
