-- Renews places of a node. KEYS: places. ARGV: lease in ms, 1 to bring back those that are not there, members.
local s, ns = instant('')
local now = millis(s, ns)
for i = 3, #ARGV do
  if ARGV[2] == '1' or redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], whole(now + ARGV[1]), ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1] + 1000)
return #ARGV - 2
