"""The queue: Celery carries ids, the dispatcher decides, the workers run stages."""
