# The loss of MSHNet, which weighs scale and location, instead of the overlap over the batch.
_base_ = './nano_batch_overlap_nuaa.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='SLSLoss')))
