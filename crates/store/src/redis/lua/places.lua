-- Places are members of a sorted set, each good until its score, milliseconds: a node that dies renews none of them.
local function millis(s, ns)
  return s * 1000 + math.floor(ns / 1e6)
end

local function take(key, s, ns, most, member, lease)
  local now = millis(s, ns)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= most and not redis.call('ZSCORE', key, member) then
    return false
  end
  redis.call('ZADD', key, whole(now + lease), member)
  redis.call('PEXPIRE', key, lease + 1000)
  return true
end
