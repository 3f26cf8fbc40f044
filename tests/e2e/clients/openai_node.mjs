// OpenAI's SDK for Node on the Responses API: a stream with reasoning, then a tool loop without stored state.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.KEY, maxRetries: 0 });
const tools = [
  {
    type: "function", name: "get_weather", strict: false,
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

async function ask(model, input, more = {}) {
  const stream = client.responses.stream({ model, input, ...more });
  for await (const _ of stream);
  return await stream.finalResponse();
}

const thought = await ask("t/thinks", "hello", { reasoning: { effort: "low" } });
const summed = await ask("t/thinks", "hello", { reasoning: { effort: "low", summary: "auto" } });
const first = await ask("t/tools", "hello", { tools, reasoning: { effort: "low", summary: "auto" } });
const call = first.output.find((item) => item.type === "function_call");
const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
const input = [{ role: "user", content: "hello" }, ...first.output, result];
const last = await ask("t/tools", input, { tools, reasoning: { effort: "low", summary: "auto" } });
const reasoning = (response) => response.output.find((item) => item.type === "reasoning");

console.log(JSON.stringify({
  content: reasoning(thought).content ?? null, summary: reasoning(summed).summary, called: call.name, text: last.output_text,
}));
