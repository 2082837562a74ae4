"""Several stages: prepare, work in parallel, judge, report; with resources, and a branch that fails.

    maze run examples/multi_stage.py

A failed task hurts only what depends on it: the rest of the run goes on, and the failure is reported.
"""

from maze import MaClient, task

READINGS = {
    "north": [12.1, 12.9, 13.4, 12.2],
    "east": [14.0, 14.3, 13.8, 14.1],
    "south": [],  # a broken sensor: its branch fails
    "west": [11.2, 10.9, 11.5, 11.1],
}


@task(inputs=["readings"], outputs=["clean"])
def prepare(params):
    return {"clean": [round(value, 1) for value in params["readings"] if -50 < value < 60]}


@task(inputs=["site", "values"], outputs=["mean"], resources={"cpu": 1, "cpu_mem": 64})
def analyse(params):
    print("analysing", params["site"])  # `maze logs RUN` shows what tasks print
    return {"mean": sum(params["values"]) / len(params["values"])}


@task(inputs=["site", "mean"], outputs=["line"])
def describe(params):
    return {"line": f"{params['site']:<6} {params['mean']:5.2f} degrees"}


client = MaClient()
workflow = client.create_workflow()

lines = {}
for site, readings in READINGS.items():
    cleaned = workflow.add_task(prepare, inputs={"readings": readings}, task_name=f"prepare {site}")
    analysis = workflow.add_task(
        analyse, inputs={"site": site, "values": cleaned.outputs["clean"]}, task_name=f"analyse {site}"
    )
    lines[site] = workflow.add_task(
        describe, inputs={"site": site, "mean": analysis.outputs["mean"]}, task_name=f"describe {site}"
    )

result = workflow.show_results(workflow.run())
results = result["task_results"]
print("\nReport")
for site, line in lines.items():
    print(results[line.task_id]["line"] if line.task_id in results else f"{site:<6} no result")
print(f"{len(result['exception_tasks'])} of {len(workflow.get_tasks())} tasks failed")
