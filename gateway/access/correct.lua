-- Adds ARGV[2] to the tokens of the tick ARGV[1] in KEYS[1], if it still counts.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
end
