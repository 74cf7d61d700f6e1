-- What changed since a version. KEYS: entries, log, version, epoch. ARGV: a name for this memory where it has none, the
-- version known, most entries. Gives the epoch, the version, and for each change: name, version, word.
local epoch = redis.call('GET', KEYS[4])
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', KEYS[4], epoch)
end
local version = tonumber(redis.call('GET', KEYS[3]) or '0')
local changes = {}
if version > tonumber(ARGV[2]) then
  local log = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  for i = 1, #log, 2 do
    changes[#changes + 1] = { log[i], tonumber(log[i + 1]), redis.call('HGET', KEYS[1], log[i]) or '' }
  end
end
return { epoch, version, changes }
