"""The first workflow: two tasks, the second of which takes the output of the first.

maze run examples/quickstart.py
"""

from maze import MaClient, task


@task(inputs=["text"], outputs=["result"])
def process_text(params):
    text = params.get("text")
    return {"result": text.upper()}


@task(inputs=["text", "times"], outputs=["result"], data_types={"times": "int"})
def repeat_text(params):
    return {"result": " ".join([params["text"]] * params["times"])}


client = MaClient()
workflow = client.create_workflow()

task1 = workflow.add_task(process_text, inputs={"text": "hello"})
# Naming the output of another task is all it takes: Maze adds the edge task1 -> task2.
task2 = workflow.add_task(repeat_text, inputs={"text": task1.outputs["result"], "times": 2})

run_id = workflow.run()
result = workflow.show_results(run_id)
print("Final output:", result["task_results"][task2.task_id]["result"])
